"""From a performance to frames: scene, camera, light, OpenGL without a window."""
