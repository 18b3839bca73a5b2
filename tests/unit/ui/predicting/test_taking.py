from cnnlab.ui.predicting.taking import sorted_imports


def test_imports_of_one_module_are_one_line_and_modules_are_in_order():
    given = [
        "from pathlib import Path",
        "",
        "from cnnlab.images import decode",
        "from cnnlab.nets import build_seeded",
        "from cnnlab.images import Preprocessing",
        "from cnnlab.inference import predict",
    ]
    assert sorted_imports(given) == [
        "from pathlib import Path",
        "",
        "from cnnlab.images import Preprocessing, decode",
        "from cnnlab.inference import predict",
        "from cnnlab.nets import build_seeded",
    ]
