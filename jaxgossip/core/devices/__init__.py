"""Where computation takes place: meshes of devices, memory, and programs for one block of rows."""
