"""pythae's ``VAE`` in its ``BaseTrainer``, with nets of the same sizes."""

import logging
import sys
import tempfile

import reporting
import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from sizes import HIDDEN, LATENT, LEARNING_RATE, PIXELS


class Encoder(BaseEncoder):
    """784 - 400 - (20 + 20)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(PIXELS, HIDDEN)
        self.loc, self.log_var = (torch.nn.Linear(HIDDEN, LATENT) for _ in range(2))

    def forward(self, x: torch.Tensor) -> ModelOutput:
        h = torch.nn.functional.softplus(self.hidden(x.reshape(len(x), -1)))
        return ModelOutput(embedding=self.loc(h), log_covariance=self.log_var(h))


class Decoder(BaseDecoder):
    """20 - 400 - 784, with the sigmoid that pythae's cross-entropy asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(LATENT, HIDDEN)
        self.mean = torch.nn.Linear(HIDDEN, PIXELS)

    def forward(self, z: torch.Tensor) -> ModelOutput:
        mean = torch.sigmoid(self.mean(torch.nn.functional.softplus(self.hidden(z))))
        return ModelOutput(reconstruction=mean.reshape(-1, 1, 28, 28))


class Ticking(TrainingCallback):
    """Notes the end of every epoch, and the last epoch's loss."""

    def __init__(self, clock: reporting.Clock) -> None:
        self.clock, self.loss = clock, float("nan")

    def on_epoch_end(self, training_config: BaseTrainerConfig, **kwargs: object) -> None:
        """Note the time."""
        self.clock.tick()

    def on_log(self, training_config: BaseTrainerConfig, logs: dict, **kwargs: object) -> None:
        """Keep the loss: pythae's mean over batches of the mean over data, in nats."""
        self.loss = logs.get("train_epoch_loss", self.loss)


def main() -> None:
    images, epochs, batch = reporting.work()
    logging.disable(logging.INFO)
    sys.stdout = sys.stderr
    torch.manual_seed(0)
    data = torch.from_numpy(images.reshape(-1, 1, 28, 28)).float()
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    clock = reporting.Clock()
    ticking = Ticking(clock)
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            VAE(config, Encoder(), Decoder()),
            train_dataset=pythae_data(data),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=epochs,
                learning_rate=LEARNING_RATE,
                per_device_train_batch_size=batch,
                optimizer_cls="Adam",
                no_cuda=not torch.cuda.is_available(),
            ),
            callbacks=[ticking],
        )
        trainer.train()
    sys.stdout = sys.__stdout__
    reporting.report(clock, -ticking.loss, None)


def pythae_data(data: torch.Tensor) -> object:
    from pythae.data.datasets import BaseDataset

    return BaseDataset(data, torch.zeros(len(data)))


if __name__ == "__main__":
    main()
