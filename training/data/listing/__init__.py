"""Lists of the clips and sentences of data sets."""
