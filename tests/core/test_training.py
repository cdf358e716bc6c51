from itertools import islice

import pytest
import torch
from helpers import tiny

from carvana_lib.base.devices import make_accelerator
from carvana_lib.base.graphs import record_graphs
from carvana_lib.evaluation import evaluate
from carvana_lib.losses import bce_loss
from carvana_lib.run.fit import draw_batches, open_datasets
from carvana_lib.training import Trainer


def test_a_batch_worked_through_in_parts_gives_the_same_step(carvana):
    results = []
    for accumulate in (1, 2, 4):
        config = tiny(norm=None, accumulate=accumulate, ema_decay=0.0, loss="bce", learning_rate=1e-3)
        train, _ = open_datasets(config, carvana, progress=False)
        trainer = Trainer(config, len(train))
        losses = [loss.item() for loss in islice(trainer.epoch(draw_batches(trainer, train)), 3)]
        results.append((losses, trainer.model.stem[0].weight.detach().clone()))
    for losses, weight in results[1:]:
        assert losses == pytest.approx(results[0][0], abs=1e-5)
        assert torch.allclose(weight, results[0][1], atol=1e-5)


def test_hard_masks_are_two_valued(carvana, monkeypatch):
    seen = []
    for soft in (True, False):
        config = tiny(soft_masks=soft, flip=0.0)
        train, _ = open_datasets(config, carvana, progress=False)
        trainer = Trainer(config, len(train))
        real = trainer.loss_function
        trainer.loss_function = lambda logits, masks, real=real: (seen.append(masks), real(logits, masks))[1]
        next(trainer.epoch(draw_batches(trainer, train)))
    assert ((seen[0] > 0) & (seen[0] < 1)).any()
    assert set(seen[1].unique().tolist()) == {0.0, 1.0}
    assert ((seen[0] > 0.5) == (seen[1] == 1)).all()


def test_the_average_follows_the_weights(carvana):
    config = tiny(ema_decay=0.5)
    train, _ = open_datasets(config, carvana, progress=False)
    trainer = Trainer(config, len(train))
    before = trainer.model.head.weight.detach().clone()
    losses = trainer.epoch(draw_batches(trainer, train))
    next(losses)
    first = trainer.model.head.weight.detach().clone()
    next(losses)
    second = trainer.model.head.weight.detach().clone()
    assert not torch.equal(before, first)
    # The first update copies; the second has weight 1 - min(0.5, 2 / 11).
    assert torch.allclose(trainer.average.module.head.weight, first + (second - first) * 9 / 11, atol=1e-7)


def test_the_learning_rate_rises_then_falls_to_nothing(carvana):
    config = tiny(epochs=4)
    trainer = Trainer(config, 20)
    rates = []
    for _ in range(trainer.total_steps):
        rates.append(trainer.schedule.get_last_lr()[0])
        trainer.optimizer.step()
        trainer.schedule.step()
    assert max(rates) == pytest.approx(config.learning_rate, rel=0.05)
    assert rates.index(max(rates)) < 0.3 * len(rates)
    assert trainer.schedule.get_last_lr()[0] < config.learning_rate / 1000


def test_accumulation_is_the_configs_alone(monkeypatch):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    assert make_accelerator(accumulate=2).gradient_accumulation_steps == 2


def test_validating_scores_the_averaged_weights_and_leaves_them(carvana):
    config = tiny(ema_decay=0.5)
    train, validation = open_datasets(config, carvana, progress=False)
    trainer = Trainer(config, len(train))
    list(islice(trainer.epoch(draw_batches(trainer, train)), 2))
    before = {name: value.clone() for name, value in trainer.average.state_dict().items()}
    scores = trainer.validate(validation)
    expected = evaluate(trainer.trained_model(), validation, outlines=False, progress=False)
    assert torch.equal(scores.counts, expected.counts)
    assert all(torch.equal(value, before[name]) for name, value in trainer.average.state_dict().items())


def test_recording_graphs_leaves_the_nets_buffers(monkeypatch):
    """There is no GPU here, so the recording itself is replaced by what it does to the net: it runs it."""
    recorded = []

    def record(callables, inputs):
        (net, loss_function), ((images,), (logits, targets)) = callables, inputs
        loss_function(net(images), targets).backward()
        recorded.append((net.training, images.shape, logits.shape, logits.requires_grad, targets.requires_grad))
        return callables

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    net = tiny().build_model().eval()
    before = {name: value.clone() for name, value in net.named_buffers()}
    graphs = record_graphs(net, bce_loss, torch.rand(2, 3, 32, 48))
    assert graphs == (net, bce_loss)
    assert recorded == [(True, (2, 3, 32, 48), (2, 1, 32, 48), True, False)]
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())


def test_backdrops_reach_the_batches(carvana):
    config = tiny(backdrop=1.0, flip=0.0)
    train, _ = open_datasets(config, carvana, progress=False)
    plain, pasted = (Trainer(tiny(backdrop=share, flip=0.0), len(train)) for share in (0.0, 1.0))
    (images, masks), (changed, same) = (next(draw_batches(trainer, train)) for trainer in (plain, pasted))
    assert torch.equal(masks, same)
    background = (masks == 0).expand_as(images)
    assert (images[background] - changed[background]).abs().mean() > 0.1
