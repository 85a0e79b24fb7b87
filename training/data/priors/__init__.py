"""Prior targets of windows, and the standard body that they are computed on."""
