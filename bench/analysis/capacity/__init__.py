"""How much load a server can take: the search for the highest load that keeps a promise."""
