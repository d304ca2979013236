"""Where everybody starts: DDIM in equal strides, every look with the prompt."""

from sdlearn.samplers import ddim_step


def draw(look, noise, alphas_cumprod, passes):
    timesteps = list(range(999, -1, -(1000 // passes)))[:passes]
    levels = [alphas_cumprod[t] for t in timesteps] + [alphas_cumprod[0]]
    sample = noise
    for t, a, a_prev in zip(timesteps, levels, levels[1:]):
        sample = ddim_step(sample, look(sample, t), a, a_prev)
    return sample
