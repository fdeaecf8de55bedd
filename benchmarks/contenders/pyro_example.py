"""The same VAE as Pyro's example has it: ``pyro.module``, ``SVI.step``, Trace_ELBO, Pyro's Adam."""

import pyro
import pyro.distributions as dist
import reporting
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from sizes import HIDDEN, LATENT, LEARNING_RATE, PIXELS
from torch.nn import Linear, Sequential, Softplus


class VAE:
    """Model and guide, with nets of the same sizes."""

    def __init__(self) -> None:
        self.encoder = Sequential(Linear(PIXELS, HIDDEN), Softplus(), Linear(HIDDEN, 2 * LATENT))
        self.decoder = Sequential(Linear(LATENT, HIDDEN), Softplus(), Linear(HIDDEN, PIXELS))

    def model(self, x: torch.Tensor) -> None:
        """p(x, z)."""
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            zeros = x.new_zeros(len(x), LATENT)
            z = pyro.sample("z", dist.Normal(zeros, torch.ones_like(zeros)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z)).to_event(1), obs=x)

    def guide(self, x: torch.Tensor) -> None:
        """q(z|x)."""
        pyro.module("encoder", self.encoder)
        loc, log_scale = self.encoder(x).chunk(2, -1)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


def main() -> None:
    images, epochs, batch = reporting.work()
    torch.manual_seed(0)
    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    data = torch.from_numpy(images).to(torch.get_default_device())
    vae = VAE()
    svi = SVI(vae.model, vae.guide, Adam({"lr": LEARNING_RATE}), Trace_ELBO())
    clock = reporting.Clock()
    for _ in range(epochs):
        losses = [
            svi.step(data[row].float())
            for row in torch.randperm(len(data)).split(batch)
            if len(row) == batch
        ]
        elbo = -sum(losses) / (len(losses) * batch)
        clock.tick()
    reporting.report(clock, elbo, None)


if __name__ == "__main__":
    main()
