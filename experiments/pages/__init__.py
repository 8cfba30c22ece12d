"""Tables, pictures and text, read back from records; nothing reads pages."""
