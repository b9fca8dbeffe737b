"""Conversion leaves the process as it was, and says nothing that nobody has to act on."""

import logging

import torch
from transformers import BertConfig, BertModel

from cliptune.encoders.engines.conversion import _tracing


def test_a_tower_of_transformers_is_traced_without_complaints_about_its_loss():
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    config = BertConfig(vocab_size=9, num_attention_heads=1, return_dict=False, **sizes)
    bert = BertModel(config, add_pooling_layer=False).eval()
    log, said = logging.getLogger("transformers.modeling_utils"), []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    type(log).warning_once.cache_clear()  # it says everything once a process
    log.addHandler(handler)
    try:
        with _tracing():
            torch.jit.trace(bert, torch.zeros(1, 3, dtype=torch.long), strict=False)
        assert said == []
        type(log).warning_once.cache_clear()
        assert bert.loss_function is not None
        assert "loss_type=None" in said[0]
    finally:
        log.removeHandler(handler)
