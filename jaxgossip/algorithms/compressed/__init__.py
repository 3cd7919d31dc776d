"""Methods whose messages are compressed, with a memory of what the messages left out."""
