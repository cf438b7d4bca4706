"""A life of the maze as a film: the path, and the square that it is about."""

import io

import torch
from PIL import Image

from agents.acting import act
from agents.envs.batched_maze import BatchedMaze
from agents.envs.drawing import Picture, Square, drawn
from agents.networks import Agent
from plastic.experiment import generator

FRAME_MS = 80
LARGER = 3  # times as wide as an environment's own rendering, to be seen on a page


def filmed(agent: Agent, world: BatchedMaze, seed: int, device: torch.device) -> bytes:
    """One life of the stream ``film``, always the same maze, as a GIF with a frame a step."""
    path: list[Square] = []
    pictures: list[Picture] = []

    def see(step: int) -> None:
        path.append(world.square(world.positions[0]))
        pictures.append(drawn(world.solid, world.square(world.goals[0]), path))

    places, choices = (generator(seed, f"film {what}", device) for what in ("places", "choices"))
    act(agent, world, 1, places, choices, see)
    return gif(pictures)


def gif(pictures: list[Picture]) -> bytes:
    """Pictures (H, W, 3) as one file."""
    height, width = (LARGER * side for side in pictures[0].shape[:2])
    frames = [Image.fromarray(p).resize((width, height), Image.Resampling.NEAREST).quantize(32) for p in pictures]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0)
    return file.getvalue()
