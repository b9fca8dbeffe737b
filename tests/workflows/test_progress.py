"""Verbs tell what they do, print nothing, and end cleanly when they are stopped."""

import pytest

import cliptune as ct


class StopHereError(Exception):
    """What a callback raises."""


def test_a_callback_hears_stages_and_notices(small_data, compute, tmp_path):
    heard = []
    ct.evaluate(small_data, compute=compute, out=tmp_path / "run", progress=heard.append)
    stages = {event.stage for event in heard if isinstance(event, ct.StageProgress)}
    assert "embedding with lite" in stages
    notices = [event.text for event in heard if isinstance(event, ct.Notice)]
    assert "using the val split; choose another with --split" in notices
    last = [e for e in heard if isinstance(e, ct.StageProgress) and "lite" in e.stage][-1]
    assert (last.done, last.total, last.unit) == (16, 16, "images")


def test_a_verb_prints_nothing_unless_asked(small_data, compute, tmp_path, capsys):
    ct.evaluate(small_data, compute=compute, out=tmp_path / "silent")
    assert capsys.readouterr() == ("", "")
    ct.evaluate(small_data, compute=compute, out=tmp_path / "told", progress=True)
    told = capsys.readouterr()
    assert told.out == ""
    assert "using the val split" in told.err


@pytest.mark.parametrize("long", [True, False])
def test_a_long_comparison_tells_each_method_s_score(
    long, small_data, compute, tmp_path, monkeypatch
):
    if long:
        monkeypatch.setattr("cliptune.workflows.fit_prepared._LONG", 2)
    heard = []
    asked = {"method": "prototype", "compute": compute, "progress": heard.append}
    fitted = ct.fit(small_data, out=tmp_path / "run", **asked)
    told = [e.text for e in heard if isinstance(e, ct.Notice) and "right on held-out" in e.text]
    score = 100 * fitted.methods["prototype"].val.accuracy.value
    assert [line.partition(":")[0] for line in told] == (["zero-shot", "prototype"] if long else [])
    assert told[1:] == ([f"prototype: {score:.1f} % right on held-out images"] if long else [])


@pytest.mark.parametrize("stage", ["embedding", "texts", "fitting"])
def test_a_callback_that_raises_ends_the_verb_cleanly(stage, small_data, make_cache, tmp_path):
    place = ct.ComputeOptions(cache_dir=make_cache(), engine="torch", precision="fp32")

    def stop(event):
        if isinstance(event, ct.StageProgress) and stage in event.stage:
            raise StopHereError

    out = tmp_path / "run"
    with pytest.raises(StopHereError):
        ct.fit(small_data, method="prototype", out=out, compute=place, progress=stop)
    assert not out.exists()
    again = ct.fit(small_data, method="prototype", out=out, compute=place)
    assert again.run == str(out)


def test_a_training_that_is_stopped_is_taken_up_again(small_data, compute, tmp_path):
    from cliptune.finetuning.records import EpochRecord

    def stop(event):
        if isinstance(event, EpochRecord) and event.epoch == 1:
            raise StopHereError

    asked = {"method": "lora", "epochs": 2, "check": False, "compute": compute}
    out = tmp_path / "run"
    with pytest.raises(StopHereError):
        ct.finetune(small_data, out=out, progress=stop, **asked)
    with pytest.raises(ct.RunError, match="unfinished"):
        ct.load_run(out)
    result = ct.finetune(small_data, resume=out, **asked)
    assert [record.epoch for record in result.epochs] == [0, 1, 2]
    assert ct.load_classifier(result.run, compute=compute).class_names == ("ant", "bee")


def test_many_texts_move_the_progress(small_data, compute, tmp_path):
    """Ten thousand labels take minutes; each batch of them is told."""
    image = next((small_data / "val" / "ants").iterdir())
    labels, heard = [f"number {n}" for n in range(600)], []
    ct.predict(image, labels=labels, prompts="a {}", compute=compute, progress=heard.append)
    texts = [e for e in heard if isinstance(e, ct.StageProgress) and e.unit == "texts"]
    assert len({event.done for event in texts}) > 2
    assert (texts[-1].done, texts[-1].total) == (600, 600)
