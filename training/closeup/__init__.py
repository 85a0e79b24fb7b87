"""The closer look at hands, taught by itself before it is part of the whole encoder."""
