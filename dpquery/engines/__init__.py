"""The only place, with the bounding kernels, where private rows exist."""
