"""Looks at the machine, the server and the client before anything is measured."""
