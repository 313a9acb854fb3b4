"""How far one model's next words are from another's, from the likeliest 20 of both."""
