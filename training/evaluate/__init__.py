"""How well clips find their sign: the paper's retrieval protocol, baselines, figures."""
