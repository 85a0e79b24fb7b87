"""The synthetic signer: human bodies that perform signs, rendered with exact keypoints."""
