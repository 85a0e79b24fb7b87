"""A metric for looking up, from poses: embeddings are turned and stretched so that two are alike where their poses are.

    python -m training.metric CHECKPOINT OUT --data shards:DIR     then `python -m model.export OUT encoder.onnx`

Pretraining asks that pose can be read out of an embedding, not that the cosine of two embeddings says how alike their
poses are: whatever else an embedding holds (how large the signer is in the picture, what all windows have in common)
counts there as well. Here a ridge regression reads hands and wrists out of embeddings z of windows with known poses,

    pose ~ B^T (z - mean),        and embeddings become        A (z - mean),   A = (B B^T + r I)^(1/2)

so that products of new embeddings are those of the poses that are read out of the old ones, and nothing is lost: A can
be undone. No label is used. The new network is of the same form: A goes into the projection, the mean into the bias of
the normalisation before it, and what reads embeddings (activity head, sign decoder) is turned back.

Ours (docs/decisions/pose-metric.md); the pose is that of the best landmark baseline, bone directions and wrists.
"""
