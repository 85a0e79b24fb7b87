"""Bodies: MakeHuman's assets, identities, clothes and hair, the rig, and a plain mannequin."""
