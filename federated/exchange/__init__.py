"""What crosses the boundary of a hospital: what may leave, in which form, and how it adds up."""
