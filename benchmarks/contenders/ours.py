"""``probvae.fit`` as a user calls it: checks, bar, history and the record of the parts are on."""

import jax
import reporting
from sizes import HIDDEN, LATENT

from probvae import VAE, fit, nets


def main() -> None:
    images, epochs, batch = reporting.work()
    compiled = reporting.Compilations()
    net = nets.MLP((HIDDEN,), activation=jax.nn.softplus)
    vae = VAE(event_shape=(28, 28), latent_dim=LATENT, encoder=net, decoder=net)
    clock = reporting.Clock()
    fitted = fit(
        vae,
        images.reshape(-1, 28, 28),
        rng_key=jax.random.key(0),
        epochs=epochs,
        batch_size=batch,
        callbacks=(lambda _: clock.tick(),),
    )
    reporting.report(clock, fitted.history.train["elbo"][-1], compiled.of("epoch"))


if __name__ == "__main__":
    main()
