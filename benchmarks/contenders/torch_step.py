"""The same VAE in PyTorch, with the fused Adam and uint8 images cast in the step.

``torch_step.py IMAGES EPOCHS BATCH HOW``; HOW is ``eager`` or ``compiled``: the loss, and with it
its gradient, by ``torch.compile``.
"""

import sys

import reporting
import torch
from sizes import HIDDEN, LATENT, LEARNING_RATE, PIXELS
from torch.nn import Linear, Sequential, Softplus
from torch.nn.functional import binary_cross_entropy_with_logits, softplus


def negative_elbo(encoder: Sequential, decoder: Sequential, x: torch.Tensor) -> torch.Tensor:
    x = x.float()
    loc, raw = encoder(x).chunk(2, -1)
    scale = softplus(raw)
    z = loc + scale * torch.randn_like(loc)
    kl = 0.5 * (loc**2 + scale**2 - 1).sum() - scale.log().sum()
    return (kl + binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")) / len(x)


def main() -> None:
    images, epochs, batch = reporting.work()
    torch.manual_seed(0)
    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    data = torch.from_numpy(images).to(torch.get_default_device())
    encoder = Sequential(Linear(PIXELS, HIDDEN), Softplus(), Linear(HIDDEN, 2 * LATENT))
    decoder = Sequential(Linear(LATENT, HIDDEN), Softplus(), Linear(HIDDEN, PIXELS))
    params = [*encoder.parameters(), *decoder.parameters()]
    adam = torch.optim.Adam(params, lr=LEARNING_RATE, fused=True)
    loss_of = torch.compile(negative_elbo) if sys.argv[4] == "compiled" else negative_elbo
    clock = reporting.Clock()
    for _ in range(epochs):
        losses = []
        for row in torch.randperm(len(data)).split(batch):
            if len(row) == batch:
                loss = loss_of(encoder, decoder, data[row])
                adam.zero_grad(set_to_none=True)
                loss.backward()
                adam.step()
                losses.append(loss.detach())
        elbo = -torch.stack(losses).mean().item()
        clock.tick()
    reporting.report(clock, elbo, None)


if __name__ == "__main__":
    main()
