"""What every room uses and nothing of which knows the subject: errors, random draws, shapes, files, registries, counts."""
