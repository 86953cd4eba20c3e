"""The main job, for real, in half a minute: real processes, real HTTP, real-shaped alerts of several products."""
