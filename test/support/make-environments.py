"""Plays episodes in Gymnasium, as reference values for the environments of the workflow `training`.

python -m venv .venv && .venv/bin/pip install gymnasium==1.4.0 numpy==2.4.6
.venv/bin/python test/support/make-environments.py > test/fixtures/training/environments.json
"""

import json
import math

import gymnasium
import numpy as np


def play(name, episodes, choose, max_steps=500):
    env = gymnasium.make(name).unwrapped
    played = []
    for episode in range(episodes):
        env.reset(seed=episode)
        # Gymnasium draws Acrobot's start in single precision; all that follows is double.
        env.state = np.array(env.state, dtype=np.float64)
        random = np.random.default_rng(episode)
        start = [float(value) for value in env.state]
        steps = []
        terminated = False
        while not terminated and len(steps) < max_steps:
            action = choose(random, env.state)
            observation, reward, terminated, _, _ = env.step(action)
            steps.append(
                {
                    "action": action,
                    "state": [float(value) for value in env.state],
                    "observation": [float(value) for value in observation],
                    "reward": float(reward),
                    "terminated": bool(terminated),
                }
            )
        played.append({"start": start, "steps": steps})
    return played


def push_towards_fall(random, state):
    """Right more often than not, so that some episodes end by the position and some by the angle."""
    return int(random.random() < 0.55)


def balance(random, state):
    """Stands until the cart leaves the track."""
    return int(state[2] + 0.3 * state[3] + 0.05 > 0)


def pump(random, state):
    """Swings with the lower link, and so reaches the end of the episode."""
    return 1 + int(np.sign(state[3])) if random.random() < 0.9 else int(random.integers(3))


print(
    json.dumps(
        {
            "cartpole": play("CartPole-v1", 3, push_towards_fall) + play("CartPole-v1", 1, balance),
            "acrobot": play("Acrobot-v1", 2, pump),
        }
    )
)
