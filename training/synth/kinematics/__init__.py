"""Arms, hands and body: forward and inverse kinematics, locations on the skin, collisions, bone rotations."""
