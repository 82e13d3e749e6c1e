"""The pages of the desk: they read and ask; everything that changes something is a service of `desk`."""
