"""How a server behaves: the service model as pure logic on a clock."""
