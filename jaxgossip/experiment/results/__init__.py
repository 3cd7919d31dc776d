"""What a run leaves behind, written and read: folder, log, inputs, measures."""
