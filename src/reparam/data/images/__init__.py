"""Images: files, folders and lists of them, from the bytes of each to one array in one unit."""
