"""Agents that learn within their lives: actor-critic training of plastic networks, and the worlds they live in.

``import agents`` makes ``plastic/GridMaze-v0`` and ``plastic/CueReward-v0`` known to gymnasium.
"""

import gymnasium

gymnasium.register(
    "plastic/GridMaze-v0",
    entry_point="agents.envs.grid_maze:GridMazeEnv",
    vector_entry_point="agents.envs.grid_maze:GridMazeVectorEnv",
)
gymnasium.register("plastic/CueReward-v0", entry_point="agents.envs.cue_reward:CueRewardEnv")
