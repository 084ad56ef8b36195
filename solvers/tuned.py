"""Fields of admm-tv and admm-wavelet for the named problems."""

from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.solvers.admm import AdmmTV, AdmmWavelet

DB2, DB4 = ("haar", "db2", "db2"), ("haar", "db4", "db4")

TUNED: dict[str, dict[str, dict[float, AdmmTV]] | dict[str, dict[float, AdmmWavelet]]] = {
    "admm-tv": {
        "pid": {
            0.02: AdmmTV(rho=0.048, weight=0.0048, max_steps=50, time_weight=4.0),
            0.1: AdmmTV(rho=0.3, weight=0.03, max_steps=36, time_weight=6.0),
        },
        "bi": {0.0: AdmmTV(rho=0.001, weight=0.0001, max_steps=94, time_weight=2.0)},
        "si": {0.0: AdmmTV(rho=0.0002, weight=1e-05, max_steps=48, time_weight=6.0)},
        "sr2": {0.0: AdmmTV(rho=0.002, weight=0.0001, max_steps=12, time_weight=12.0)},
        "sr4": {0.0: AdmmTV(rho=0.00025, weight=0.0001, max_steps=4, time_weight=0.5)},
        "cs": {0.0: AdmmTV(rho=0.001, weight=0.0001, max_steps=110, time_weight=8.0)},
        "vcs": {0.0: AdmmTV(rho=0.0002, weight=1e-05, max_steps=66, time_weight=8.0)},
        "dd": {
            0.0: AdmmTV(rho=3.33e-07, weight=1e-09, max_steps=1, time_weight=4.0),
            EIGHT_BIT_NOISE: AdmmTV(rho=0.000641, weight=3.2e-05, max_steps=23, time_weight=4.0),
            0.03: AdmmTV(rho=0.027, weight=0.0054, max_steps=59, time_weight=3.0),
        },
        "tdd": {
            0.0: AdmmTV(rho=3.33e-07, weight=1e-09, max_steps=1, time_weight=12.0),
            EIGHT_BIT_NOISE: AdmmTV(rho=0.0214, weight=6.41e-05, max_steps=3, time_weight=12.0),
            0.03: AdmmTV(rho=0.432, weight=0.0108, max_steps=30, time_weight=3.0),
        },
        "md": {
            0.0: AdmmTV(rho=3.33e-07, weight=1e-09, max_steps=1, time_weight=4.0),
            EIGHT_BIT_NOISE: AdmmTV(rho=0.000641, weight=3.2e-05, max_steps=26, time_weight=4.0),
            0.03: AdmmTV(rho=0.0135, weight=0.0054, max_steps=80, time_weight=2.0),
        },
        "md3": {
            0.0: AdmmTV(rho=3.33e-07, weight=1e-09, max_steps=1, time_weight=6.0),
            EIGHT_BIT_NOISE: AdmmTV(rho=0.0214, weight=6.41e-05, max_steps=17, time_weight=6.0),
            0.03: AdmmTV(rho=0.108, weight=0.0108, max_steps=40, time_weight=3.0),
        },
        "fi2": {0.0: AdmmTV(rho=0.0002, weight=1e-05, max_steps=58, time_weight=8.0)},
        "fi4": {0.0: AdmmTV(rho=0.001, weight=0.0001, max_steps=46, time_weight=12.0)},
        "fp25": {0.0: AdmmTV(rho=0.0004, weight=1e-05, max_steps=69, time_weight=12.0)},
        "fp50": {0.0: AdmmTV(rho=0.001, weight=0.0001, max_steps=43, time_weight=12.0)},
        "fp75": {0.0: AdmmTV(rho=0.0005, weight=0.0001, max_steps=74, time_weight=20.0)},
        "color": {0.0: AdmmTV(rho=0.001, weight=0.0001, max_steps=1, time_weight=4.0)},
        "denoise": {
            0.02: AdmmTV(rho=3.33, weight=0.01, max_steps=19, time_weight=6.0),
            0.1: AdmmTV(rho=2.4, weight=0.06, max_steps=21, time_weight=4.0),
        },
    },
    "admm-wavelet": {
        "pid": {
            0.02: AdmmWavelet(rho=0.05, weight=0.02, max_steps=28, wavelet=DB4, levels=(2, 2, 2)),
            0.1: AdmmWavelet(rho=0.3, weight=0.12, max_steps=9, wavelet=DB4, levels=(3, 2, 2)),
        },
        "bi": {0.0: AdmmWavelet(rho=0.00025, weight=0.0001, max_steps=54, wavelet=DB2, levels=(3, 4, 4))},
        "si": {0.0: AdmmWavelet(rho=0.01, weight=0.001, max_steps=56, wavelet=DB4, levels=(3, 2, 2))},
        "sr2": {0.0: AdmmWavelet(rho=0.001, weight=0.0001, max_steps=2, wavelet=DB4, levels=(3, 2, 2))},
        "sr4": {0.0: AdmmWavelet(rho=0.0005, weight=0.0001, max_steps=1, wavelet=DB2, levels=(1, 2, 2))},
        "cs": {0.0: AdmmWavelet(rho=0.0005, weight=0.0001, max_steps=41, wavelet=DB4, levels=(3, 2, 2))},
        "vcs": {0.0: AdmmWavelet(rho=0.005, weight=0.001, max_steps=35, wavelet=DB4, levels=(3, 2, 2))},
        "dd": {
            0.0: AdmmWavelet(rho=3.33e-07, weight=1e-09, max_steps=1, wavelet=DB4, levels=(3, 3, 3)),
            EIGHT_BIT_NOISE: AdmmWavelet(rho=0.00128, weight=6.41e-05, max_steps=5, wavelet=DB4, levels=(3, 3, 3)),
            0.03: AdmmWavelet(rho=0.225, weight=0.0225, max_steps=80, wavelet=DB4, levels=(3, 2, 2)),
        },
        "tdd": {
            0.0: AdmmWavelet(rho=3.33e-07, weight=1e-09, max_steps=1, wavelet="haar", levels=(3, 3, 3)),
            EIGHT_BIT_NOISE: AdmmWavelet(rho=0.00128, weight=6.41e-05, max_steps=16, wavelet="haar", levels=(3, 3, 3)),
            0.03: AdmmWavelet(rho=0.112, weight=0.0225, max_steps=4, wavelet=DB4, levels=(3, 2, 2)),
        },
        "md": {
            0.0: AdmmWavelet(rho=3.33e-07, weight=1e-09, max_steps=1, wavelet=DB4, levels=(3, 3, 3)),
            EIGHT_BIT_NOISE: AdmmWavelet(rho=0.00128, weight=6.41e-05, max_steps=9, wavelet=DB4, levels=(3, 3, 3)),
            0.03: AdmmWavelet(rho=0.0135, weight=0.0108, max_steps=24, wavelet=DB4, levels=(3, 3, 3)),
        },
        "md3": {
            0.0: AdmmWavelet(rho=3.33e-07, weight=1e-09, max_steps=1, wavelet=DB2, levels=(3, 3, 3)),
            EIGHT_BIT_NOISE: AdmmWavelet(rho=0.00128, weight=6.41e-05, max_steps=16, wavelet=DB2, levels=(3, 3, 3)),
            0.03: AdmmWavelet(rho=0.112, weight=0.0225, max_steps=7, wavelet=DB4, levels=(3, 2, 2)),
        },
        "fi2": {0.0: AdmmWavelet(rho=0.005, weight=0.001, max_steps=37, wavelet=DB4, levels=(2, 2, 2))},
        "fi4": {0.0: AdmmWavelet(rho=0.00025, weight=0.0001, max_steps=28, wavelet=DB4, levels=(2, 2, 2))},
        "fp25": {0.0: AdmmWavelet(rho=0.0005, weight=0.0001, max_steps=68, wavelet=DB4, levels=(3, 2, 2))},
        "fp50": {0.0: AdmmWavelet(rho=0.0005, weight=0.0001, max_steps=46, wavelet=DB4, levels=(3, 2, 2))},
        "fp75": {0.0: AdmmWavelet(rho=0.00025, weight=0.0001, max_steps=35, wavelet=DB4, levels=(3, 2, 2))},
        "color": {0.0: AdmmWavelet(rho=0.00833, weight=0.0001, max_steps=1, wavelet=DB4, levels=(3, 2, 2))},
        "denoise": {
            0.02: AdmmWavelet(rho=0.2, weight=0.02, max_steps=8, wavelet=DB4, levels=(3, 2, 2)),
            0.1: AdmmWavelet(rho=2.5, weight=0.25, max_steps=3, wavelet=DB4, levels=(3, 2, 2)),
        },
    },
}
