"""Pickles that an older version wrote, when a topology and its sizes were plain attributes."""

import base64
import io
import pickle
import zlib

import torch
from torch.testing import assert_close

import edgelinear as el

# pickle.dumps(el.Topology(3, 2, [(2, 1), (0, 0)]))
TOPOLOGY = (
    b"gASVzQEAAAAAAACME2VkZ2VsaW5lYXIudG9wb2xvZ3mUjAVfbG9hZJSTlEsDSwKMDHRvcmNoLl91dGlsc5SMEl9y"
    b"ZWJ1aWxkX3RlbnNvcl92MpSTlCiMDXRvcmNoLnN0b3JhZ2WUjBBfbG9hZF9mcm9tX2J5dGVzlJOUQhoBAACAAooK"
    b"bPycRvkgaqhQGS6AAk3pAy6AAn1xAChYEAAAAHByb3RvY29sX3ZlcnNpb25xAU3pA1gNAAAAbGl0dGxlX2VuZGlh"
    b"bnECiFgKAAAAdHlwZV9zaXplc3EDfXEEKFgFAAAAc2hvcnRxBUsCWAMAAABpbnRxBksEWAQAAABsb25ncQdLBHV1"
    b"LoACKFgHAAAAc3RvcmFnZXEAY3RvcmNoCkxvbmdTdG9yYWdlCnEBWA4AAAA5NDMxMDIzOTM2NTU1MnECWAMAAABj"
    b"cHVxA0sETnRxBFEugAJdcQBYDgAAADk0MzEwMjM5MzY1NTUycQFhLgQAAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAEA"
    b"AAAAAAAAAAAAAAAAAACUhZRSlEsASwJLAoaUSwJLAYaUiYwLY29sbGVjdGlvbnOUjAtPcmRlcmVkRGljdJSTlClS"
    b"lHSUUpSHlFKULg=="
)
# torch.save(el.EdgeLinear(3, 2, [(2, 1), (0, 0)], weight=[0.5, -2.0], bias=False,
#                          in_names=["a", "b", "c"])), compressed by zlib
LAYER = (
    b"eNqlVs1vG0UUX9uJ7W5CvkobmpY0UD4caB2vHdtxv0JNaz42BGOENEKqVuPdib3KZjdvdzaWkSJAKE17gX8AceVP"
    b"QOLElWMvPdETJ05w5MjMOLZ3100CZaTV7L73e+/9Zub3xq6riTFJSqelkTEjzUnY1dvmHlkxMMXZ3W2rVp2SPg+N"
    b"r+I6MVrEMm2C3ayFu8T15HvMsiEsMkjLX0NsH+IZxGtQF5u2abcg8RBNsG9tF7t4h1AWBWP7MJ5BSWbtELPVppDU"
    b"qcMIZDWfmpYnay5p+qZlDGNkSB0DocT2HFfby8uQzmRQiiX1GBK3CJzphcg1y8H0055RBhnFGCYHEyjBZn3Xh0k1"
    b"TuGFT1RJjR/AlBo7gOlHuu5YFtGp6die/LFrEJcYd02dyjCz3IBZCnMNOPuwzT9ePIRzDTiP2O5KTRN7ML/piy3Q"
    b"mv7WFl/vS/twAV3kFtuxtV1mMj3Gm/YBmkcoLOiaxpdETVvTZGaR4eJ9uHQALzdgEZ0V+bC+3cEu2xeXaG3H2fbg"
    b"sqCwhKZD/p7vFeF7FZ3nPtPTtnzLCmPgyiaa4t4txw0EviYCX0cLIy6tY9K2xhO0PHhDwN5El0Zh2OrgrqfpmG2i"
    b"ARkBXEZzQeBwDW8J99to8ZnuUMmrAnoNzXKoRzElmsFO5ShRVnhX0LmId1gqJxBKb2VMFsazYXkBK/TObATmeP2C"
    b"qwJX7J32jmP4FvGgtA9loUO+1cQ2YE1IA/vUgUqvN5xdx3JaXbgebKm+VRYVZbihJtR4m4m63RfyhmO3Bjq+KXSs"
    b"wK32pDpG4bbQrxp/AOtsij2Adx4JcncoVBvw7iHcbcA90YlMX1sEU99lXGtqAk0ym+PTofE9NY7OCM3Yms36z4P3"
    b"78MHGVEPw4diboIqZh02CJI5mKfooT/a9JvZuppKV7/vHq6wtfOnfuz1My9NDq6fLDv+HUy1Pd4jjl2rpge3kMIz"
    b"/vTnb9/wsvw5PuOCVB5mPLoNmCTNlr3Duq5WLUSutn81SqucwHoH/oizEvETCcxK6wMCzS4lDr9AatUbz1O3PyyT"
    b"UotwDge3fr/AL8/kiRympNuhW30lV6te/x8EWMp19vzCGXybLz/lJdOnMLgZZqDUqmvPzSAeyR6LfHNey7/++N0S"
    b"e186kde0dGXAayC0y6cRK8i8wuMfWp+dfv6LUn4oQLF0j7gmU+AXmP+iaKZRq2b/407kiiVFya0V84WSUimVc8V8"
    b"ZVXJVcq5Sl4prCnFQqmolFdX85xlbuLpzxnGIyNYxsTW9XkGm3JmhHn0f0A0OtiA86HIL8ek49o4miTYRAuhJI+D"
    b"SUY6N5on2AizoTyNcWm0AaPhQRVPhcKfjEuR3onGBpUWjuX/a8Kqj8YGNTQdiv0rEHvM3gWPdjG85pR0iujqajJ5"
    b"tS/RxLVBZDoyTxz12t+pfmslxVtCHrZeXR1P9mLSAt/D/gOMpJFm"
)


def load_layer():
    file = io.BytesIO(zlib.decompress(base64.b64decode(LAYER)))
    return torch.load(file, weights_only=False)


def test_topology_is_read():
    topology = pickle.loads(base64.b64decode(TOPOLOGY))
    assert topology == el.Topology(3, 2, [(2, 1), (0, 0)])


def test_layer_is_read():
    layer = load_layer()
    assert layer.topology == el.Topology(3, 2, [(2, 1), (0, 0)])
    assert (layer.in_names, layer.out_names) == (["a", "b", "c"], None)
    assert (layer.in_features, layer.out_features) == (3, 2)
    assert_close(layer(torch.tensor([[1.0, 10.0, 100.0]])).detach(), torch.tensor([[-2.0, 50.0]]))


def test_layer_that_was_read_is_written_as_layers_are():
    layer = load_layer()
    again = pickle.loads(pickle.dumps(layer))
    assert again.topology == layer.topology
    assert not {"topology", "in_features", "out_features"} & {*layer.__dict__}
    assert [*layer.state_dict()] == [*again.state_dict()]
