import pytest

from cyxla._runtime import backend, plugins, xla


def test_devices(device):
    assert backend.devices("cpu")[0] is device
    assert backend.local_devices(backend="cpu") == backend.devices("cpu")
    assert backend.local_devices(process_index=0, backend="cpu") == backend.devices("cpu")
    assert backend.device_count("cpu") == backend.local_device_count("cpu") == len(backend.devices("cpu"))
    assert backend.devices(device.client) == backend.devices("cpu")
    assert backend.process_index() == backend.host_id() == 0
    assert backend.process_count() == backend.host_count() == 1
    assert backend.process_indices() == [0]
    assert isinstance(device, xla.Device)
    assert backend.default_backend() in ("cpu", "gpu", "tpu")
    assert backend.default_device() in backend.devices()
    assert "jaxlib" in backend.runtime_versions()


def test_errors():
    with pytest.raises(RuntimeError, match=r"'foo'.*Available: .*cpu"):
        backend.devices("foo")
    with pytest.raises(RuntimeError, match="no devices of platform"):
        backend.device_count("foo")
    with pytest.raises(ValueError, match="index 3"):
        backend.local_devices(process_index=3, backend="cpu")


def test_default_device(device, monkeypatch):
    monkeypatch.setattr(backend, "_chosen_device", backend._chosen_device)
    first = backend.get_client().local_devices()[0]
    for chosen, expected in ((None, first), (device, device), ("cpu", device)):
        backend.install_default_device(lambda chosen=chosen: chosen)
        assert backend.default_device() is expected


def test_plugins_are_found_by_their_files(tmp_path, monkeypatch):
    (tmp_path / "jax_plugins" / "xla_cuda99").mkdir(parents=True)
    library = tmp_path / "jax_plugins" / "xla_cuda99" / "xla_cuda_plugin.so"
    library.write_bytes(b"")
    (tmp_path / "jax_plugins" / "xla_cuda99" / "other.so").write_bytes(b"")
    (tmp_path / "jax_plugins" / "toaster_plugin").mkdir()
    toaster = tmp_path / "jax_plugins" / "toaster_plugin" / "libpjrt.so"
    toaster.write_bytes(b"")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PJRT_NAMES_AND_LIBRARY_PATHS", "fridge:/x/y.so, oven:/z.so")
    found = plugins._discover()
    assert found["cuda"] == str(library)
    assert found["toaster"] == str(toaster)
    assert found["fridge"] == "/x/y.so" and found["oven"] == "/z.so"
    monkeypatch.setattr(plugins, "_found", found)
    assert plugins.names()[0] == "cuda"
    with pytest.raises(RuntimeError, match="no plugin"):
        plugins.make_client("freezer")


def test_plugins_by_entry_point(tmp_path, monkeypatch):
    package = tmp_path / "kettle"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('must not be imported')")
    (package / "pjrt_kettle.so").write_bytes(b"")
    info = tmp_path / "kettle-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kettle\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[jax_plugins]\nkettle = kettle\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins._discover()["kettle"] == str(package / "pjrt_kettle.so")


def test_bad_plugin_list(monkeypatch):
    monkeypatch.setenv("PJRT_NAMES_AND_LIBRARY_PATHS", "no-path")
    with pytest.raises(ValueError, match="PJRT_NAMES_AND_LIBRARY_PATHS"):
        plugins._discover()
