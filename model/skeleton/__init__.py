"""From a video to the skeleton of its signer, and from that to a clip vector: the encoders that see no pixels.

    frames -> estimator -> landmarks -> 61 keypoints -> windows -> encoder -> (embedding, activity)
    video     MediaPipe    landmarks    kinematics       windows    encoders

Nothing here needs torch. Encoders of skeletons are trained on the very keypoints that this package gives.
"""
