"""``probvae.fit`` as a user calls it: checks, bar, history and the record of the parts are on."""

import jax
import reporting
from sizes import BATCH, HIDDEN, LATENT
from tqdm.auto import tqdm

from probvae import VAE, fit, nets
from probvae.training import course


class Ticking(tqdm):
    """The progress bar of ``fit``, which also notes the end of every epoch."""

    clock: reporting.Clock

    def update(self, n: float = 1) -> bool | None:
        """Note the time, and update."""
        self.clock.tick()
        return super().update(n)


def timed() -> None:
    """Have the bar of the loop over epochs note their ends, from now on."""
    if not hasattr(course, "tqdm"):
        raise AttributeError("probvae.training.course shows no bar any more: the clock hangs on it.")
    course.tqdm = Ticking
    Ticking.clock = reporting.Clock()


def main() -> None:
    images, epochs = reporting.arguments()
    compiled = reporting.Compilations()
    net = nets.MLP((HIDDEN,), activation=jax.nn.softplus)
    vae = VAE(event_shape=(28, 28), latent_dim=LATENT, encoder=net, decoder=net)
    timed()
    fitted = fit(
        vae, images.reshape(-1, 28, 28), rng_key=jax.random.key(0), epochs=epochs, batch_size=BATCH
    )
    reporting.report(Ticking.clock, fitted.history.train["elbo"][-1], compiled.of("epoch"))


if __name__ == "__main__":
    main()
