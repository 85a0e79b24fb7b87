"""Signs as a linguist writes them down: handshapes and phonology."""
