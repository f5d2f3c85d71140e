"""Teachers: whoever answers the agent's messages. See `contract`."""
