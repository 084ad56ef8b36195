"""Fields of admm-tv and admm-wavelet for the named problems; written by `benchmarks/tune.py search`."""

from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.solvers.admm import AdmmTV, AdmmWavelet

DB2, DB4 = ("haar", "db2", "db2"), ("haar", "db4", "db4")

TUNED: dict[str, dict[str, dict[float, AdmmTV]] | dict[str, dict[float, AdmmWavelet]]] = {
    "admm-tv": {
        "pid": {
            0.0: AdmmTV(weight=0.000192, rho=0.00192, max_steps=38, time_weight=4.8),
            0.02: AdmmTV(weight=0.0034, rho=0.034, max_steps=38, time_weight=4.8),
            0.05: AdmmTV(weight=0.015, rho=0.3, max_steps=36, time_weight=6.0),
            0.1: AdmmTV(weight=0.03, rho=0.3, max_steps=36, time_weight=6.0),
        },
        "bi": {
            0.0: AdmmTV(weight=0.0001, rho=0.004, max_steps=48, time_weight=0.25),
            0.02: AdmmTV(weight=0.01, rho=0.4, max_steps=43, time_weight=0.35),
            0.05: AdmmTV(weight=0.05, rho=0.0704, max_steps=37, time_weight=0.7),
        },
        "si": {
            0.0: AdmmTV(weight=1e-05, rho=0.000769, max_steps=48, time_weight=6.0),
            0.02: AdmmTV(weight=0.005, rho=0.143, max_steps=75, time_weight=6.0),
            0.05: AdmmTV(weight=0.0088, rho=0.101, max_steps=48, time_weight=10.0),
        },
        "sr2": {
            0.0: AdmmTV(weight=0.0001, rho=0.002, max_steps=12, time_weight=12.0),
            0.02: AdmmTV(weight=0.0013, rho=0.0065, max_steps=49, time_weight=3.0),
            0.05: AdmmTV(weight=0.0046, rho=0.0184, max_steps=31, time_weight=2.5),
        },
        "sr4": {
            0.0: AdmmTV(weight=0.0001, rho=0.00025, max_steps=4, time_weight=0.5),
            0.02: AdmmTV(weight=0.0013, rho=0.00325, max_steps=3, time_weight=0.35),
            0.05: AdmmTV(weight=0.0065, rho=0.013, max_steps=22, time_weight=0.25),
        },
        "cs": {
            0.0: AdmmTV(weight=0.0001, rho=0.001, max_steps=110, time_weight=8.0),
            0.02: AdmmTV(weight=0.00063, rho=0.0126, max_steps=72, time_weight=5.7),
            0.05: AdmmTV(weight=0.00158, rho=0.0255, max_steps=38, time_weight=5.7),
        },
        "vcs": {
            0.0: AdmmTV(weight=1e-05, rho=0.0002, max_steps=66, time_weight=8.0),
            0.02: AdmmTV(weight=0.00016, rho=0.0032, max_steps=50, time_weight=8.0),
            0.05: AdmmTV(weight=0.0008, rho=0.0258, max_steps=65, time_weight=8.0),
        },
        "dd": {
            0.0: AdmmTV(weight=1e-09, rho=3.33e-07, max_steps=1, time_weight=4.0),
            EIGHT_BIT_NOISE: AdmmTV(weight=3.2e-05, rho=0.000641, max_steps=23, time_weight=4.0),
            0.02: AdmmTV(weight=0.0036, rho=0.027, max_steps=59, time_weight=3.0),
            0.03: AdmmTV(weight=0.0054, rho=0.027, max_steps=59, time_weight=3.0),
            0.05: AdmmTV(weight=0.009, rho=0.027, max_steps=59, time_weight=3.0),
        },
        "tdd": {
            0.0: AdmmTV(weight=1e-09, rho=3.33e-07, max_steps=1, time_weight=12.0),
            EIGHT_BIT_NOISE: AdmmTV(weight=6.41e-05, rho=0.0214, max_steps=3, time_weight=12.0),
            0.02: AdmmTV(weight=0.0025, rho=0.301, max_steps=36, time_weight=7.1),
            0.03: AdmmTV(weight=0.0108, rho=0.432, max_steps=30, time_weight=3.0),
            0.05: AdmmTV(weight=0.018, rho=0.432, max_steps=33, time_weight=3.0),
        },
        "md": {
            0.0: AdmmTV(weight=1e-09, rho=3.33e-07, max_steps=1, time_weight=4.0),
            EIGHT_BIT_NOISE: AdmmTV(weight=3.2e-05, rho=0.000641, max_steps=26, time_weight=4.0),
            0.02: AdmmTV(weight=0.0025, rho=0.00936, max_steps=73, time_weight=2.4),
            0.03: AdmmTV(weight=0.0054, rho=0.0135, max_steps=80, time_weight=2.0),
            0.05: AdmmTV(weight=0.009, rho=0.0191, max_steps=46, time_weight=2.4),
        },
        "md3": {
            0.0: AdmmTV(weight=1e-09, rho=3.33e-07, max_steps=1, time_weight=6.0),
            EIGHT_BIT_NOISE: AdmmTV(weight=6.41e-05, rho=0.0214, max_steps=17, time_weight=6.0),
            0.02: AdmmTV(weight=0.0036, rho=0.054, max_steps=27, time_weight=5.0),
            0.03: AdmmTV(weight=0.0108, rho=0.108, max_steps=40, time_weight=3.0),
            0.05: AdmmTV(weight=0.018, rho=0.108, max_steps=40, time_weight=3.0),
        },
        "fi2": {
            0.0: AdmmTV(weight=1e-05, rho=0.0002, max_steps=58, time_weight=8.0),
            0.02: AdmmTV(weight=0.0025, rho=0.025, max_steps=88, time_weight=11.0),
            0.05: AdmmTV(weight=0.0088, rho=0.142, max_steps=30, time_weight=9.2),
        },
        "fi4": {
            0.0: AdmmTV(weight=0.0001, rho=0.001, max_steps=46, time_weight=12.0),
            0.02: AdmmTV(weight=0.0025, rho=0.025, max_steps=46, time_weight=12.0),
            0.05: AdmmTV(weight=0.00625, rho=0.101, max_steps=26, time_weight=10.0),
        },
        "fp25": {
            0.0: AdmmTV(weight=1e-05, rho=0.0004, max_steps=69, time_weight=12.0),
            0.02: AdmmTV(weight=0.0035, rho=0.07, max_steps=46, time_weight=10.0),
            0.05: AdmmTV(weight=0.00875, rho=0.07, max_steps=69, time_weight=10.0),
        },
        "fp50": {
            0.0: AdmmTV(weight=0.0001, rho=0.001, max_steps=43, time_weight=12.0),
            0.02: AdmmTV(weight=0.0025, rho=0.025, max_steps=43, time_weight=12.0),
            0.05: AdmmTV(weight=0.0088, rho=0.142, max_steps=43, time_weight=12.0),
        },
        "fp75": {
            0.0: AdmmTV(weight=0.0001, rho=0.0005, max_steps=74, time_weight=20.0),
            0.02: AdmmTV(weight=0.0025, rho=0.00312, max_steps=21, time_weight=17.0),
            0.05: AdmmTV(weight=0.025, rho=0.025, max_steps=21, time_weight=17.0),
        },
        "color": {
            0.0: AdmmTV(weight=0.0001, rho=0.001, max_steps=1, time_weight=4.0),
            0.02: AdmmTV(weight=0.0025, rho=0.025, max_steps=1, time_weight=4.0),
            0.05: AdmmTV(weight=0.00625, rho=0.025, max_steps=12, time_weight=4.0),
        },
        "denoise": {
            0.02: AdmmTV(weight=0.005, rho=3.33, max_steps=20, time_weight=12.0),
            0.05: AdmmTV(weight=0.015, rho=2.38, max_steps=23, time_weight=8.0),
            0.1: AdmmTV(weight=0.06, rho=2.4, max_steps=21, time_weight=4.0),
        },
    },
    "admm-wavelet": {
        "pid": {
            0.0: AdmmWavelet(weight=0.00113, rho=0.491, max_steps=68, wavelet=DB4, levels=(2, 2, 2)),
            0.02: AdmmWavelet(weight=0.02, rho=0.05, max_steps=28, wavelet=DB4, levels=(2, 2, 2)),
            0.05: AdmmWavelet(weight=0.042, rho=0.105, max_steps=9, wavelet=DB4, levels=(2, 2, 2)),
            0.1: AdmmWavelet(weight=0.12, rho=0.3, max_steps=9, wavelet=DB4, levels=(3, 2, 2)),
        },
        "bi": {
            0.0: AdmmWavelet(weight=0.0001, rho=0.004, max_steps=8, wavelet=DB4, levels=(3, 3, 3)),
            0.02: AdmmWavelet(weight=0.005, rho=0.0125, max_steps=54, wavelet=DB2, levels=(3, 4, 4)),
            0.05: AdmmWavelet(weight=0.0125, rho=0.0125, max_steps=54, wavelet=DB2, levels=(3, 4, 4)),
        },
        "si": {
            0.0: AdmmWavelet(weight=0.001, rho=0.159, max_steps=12, wavelet=DB4, levels=(3, 2, 2)),
            0.02: AdmmWavelet(weight=0.02, rho=0.2, max_steps=67, wavelet=DB4, levels=(3, 3, 3)),
            0.05: AdmmWavelet(weight=0.05, rho=0.2, max_steps=67, wavelet=DB4, levels=(3, 3, 3)),
        },
        "sr2": {
            0.0: AdmmWavelet(weight=0.0001, rho=0.001, max_steps=2, wavelet=DB4, levels=(3, 2, 2)),
            0.02: AdmmWavelet(weight=0.005, rho=0.1, max_steps=4, wavelet=DB4, levels=(3, 2, 2)),
            0.05: AdmmWavelet(weight=0.025, rho=0.2, max_steps=2, wavelet=DB4, levels=(3, 2, 2)),
        },
        "sr4": {
            0.0: AdmmWavelet(weight=0.0001, rho=0.0005, max_steps=1, wavelet=DB2, levels=(1, 2, 2)),
            0.02: AdmmWavelet(weight=0.005, rho=0.025, max_steps=1, wavelet=DB2, levels=(1, 2, 2)),
            0.05: AdmmWavelet(weight=0.0125, rho=0.0735, max_steps=1, wavelet=DB2, levels=(2, 2, 2)),
        },
        "cs": {
            0.0: AdmmWavelet(weight=0.0001, rho=0.0005, max_steps=41, wavelet=DB4, levels=(3, 2, 2)),
            0.02: AdmmWavelet(weight=0.23, rho=1.15, max_steps=40, wavelet=DB4, levels=(3, 2, 2)),
            0.05: AdmmWavelet(weight=0.29, rho=0.58, max_steps=54, wavelet=DB4, levels=(3, 2, 2)),
        },
        "vcs": {
            0.0: AdmmWavelet(weight=0.001, rho=0.005, max_steps=35, wavelet=DB4, levels=(3, 2, 2)),
            0.02: AdmmWavelet(weight=0.0071, rho=0.0355, max_steps=48, wavelet=DB4, levels=(3, 2, 2)),
            0.05: AdmmWavelet(weight=0.013, rho=0.00162, max_steps=84, wavelet=DB4, levels=(3, 2, 2)),
        },
        "dd": {
            0.0: AdmmWavelet(weight=1e-09, rho=3.33e-07, max_steps=1, wavelet=DB4, levels=(3, 3, 3)),
            EIGHT_BIT_NOISE: AdmmWavelet(weight=6.41e-05, rho=0.00128, max_steps=5, wavelet=DB4, levels=(3, 3, 3)),
            0.02: AdmmWavelet(weight=0.0053, rho=0.0795, max_steps=77, wavelet=DB4, levels=(3, 2, 2)),
            0.03: AdmmWavelet(weight=0.0225, rho=0.225, max_steps=80, wavelet=DB4, levels=(3, 2, 2)),
            0.05: AdmmWavelet(weight=0.0375, rho=0.056, max_steps=3, wavelet=DB4, levels=(3, 2, 2)),
        },
        "tdd": {
            0.0: AdmmWavelet(weight=1e-09, rho=3.33e-07, max_steps=1, wavelet="haar", levels=(3, 3, 3)),
            EIGHT_BIT_NOISE: AdmmWavelet(weight=6.41e-05, rho=0.00128, max_steps=16, wavelet="haar", levels=(3, 3, 3)),
            0.02: AdmmWavelet(weight=0.011, rho=0.0579, max_steps=4, wavelet=DB4, levels=(3, 2, 2)),
            0.03: AdmmWavelet(weight=0.0225, rho=0.112, max_steps=4, wavelet=DB4, levels=(3, 2, 2)),
            0.05: AdmmWavelet(weight=0.0375, rho=0.112, max_steps=4, wavelet=DB4, levels=(3, 2, 2)),
        },
        "md": {
            0.0: AdmmWavelet(weight=1e-09, rho=3.33e-07, max_steps=1, wavelet=DB4, levels=(3, 3, 3)),
            EIGHT_BIT_NOISE: AdmmWavelet(weight=6.41e-05, rho=0.00128, max_steps=9, wavelet=DB4, levels=(3, 3, 3)),
            0.02: AdmmWavelet(weight=0.0051, rho=0.00464, max_steps=12, wavelet=DB4, levels=(3, 3, 3)),
            0.03: AdmmWavelet(weight=0.0108, rho=0.0135, max_steps=24, wavelet=DB4, levels=(3, 3, 3)),
            0.05: AdmmWavelet(weight=0.051, rho=0.0761, max_steps=2, wavelet=DB4, levels=(3, 4, 4)),
        },
        "md3": {
            0.0: AdmmWavelet(weight=1e-09, rho=3.33e-07, max_steps=1, wavelet=DB2, levels=(3, 3, 3)),
            EIGHT_BIT_NOISE: AdmmWavelet(weight=6.41e-05, rho=0.00128, max_steps=16, wavelet=DB2, levels=(3, 3, 3)),
            0.02: AdmmWavelet(weight=0.011, rho=0.0821, max_steps=5, wavelet=DB4, levels=(3, 2, 2)),
            0.03: AdmmWavelet(weight=0.0225, rho=0.112, max_steps=7, wavelet=DB4, levels=(3, 2, 2)),
            0.05: AdmmWavelet(weight=0.0375, rho=0.112, max_steps=7, wavelet=DB4, levels=(3, 2, 2)),
        },
        "fi2": {
            0.0: AdmmWavelet(weight=0.001, rho=0.005, max_steps=37, wavelet=DB4, levels=(2, 2, 2)),
            0.02: AdmmWavelet(weight=0.01, rho=0.05, max_steps=27, wavelet=DB4, levels=(2, 2, 2)),
            0.05: AdmmWavelet(weight=0.2, rho=12.5, max_steps=3, wavelet=DB4, levels=(2, 2, 2)),
        },
        "fi4": {
            0.0: AdmmWavelet(weight=0.0001, rho=0.00025, max_steps=28, wavelet=DB4, levels=(2, 2, 2)),
            0.02: AdmmWavelet(weight=0.04, rho=0.0125, max_steps=3, wavelet=DB4, levels=(2, 2, 2)),
            0.05: AdmmWavelet(weight=0.1, rho=0.0125, max_steps=29, wavelet=DB4, levels=(1, 2, 2)),
        },
        "fp25": {
            0.0: AdmmWavelet(weight=0.0001, rho=0.0005, max_steps=68, wavelet=DB4, levels=(3, 2, 2)),
            0.02: AdmmWavelet(weight=0.01, rho=0.05, max_steps=70, wavelet=DB4, levels=(3, 2, 2)),
            0.05: AdmmWavelet(weight=0.2, rho=12.5, max_steps=4, wavelet=DB4, levels=(2, 2, 2)),
        },
        "fp50": {
            0.0: AdmmWavelet(weight=0.0001, rho=0.0005, max_steps=46, wavelet=DB4, levels=(3, 2, 2)),
            0.02: AdmmWavelet(weight=0.005, rho=0.025, max_steps=53, wavelet=DB4, levels=(3, 2, 2)),
            0.05: AdmmWavelet(weight=0.1, rho=3.23, max_steps=2, wavelet=DB4, levels=(3, 2, 2)),
        },
        "fp75": {
            0.0: AdmmWavelet(weight=0.0001, rho=0.00025, max_steps=35, wavelet=DB4, levels=(3, 2, 2)),
            0.02: AdmmWavelet(weight=0.005, rho=0.0179, max_steps=54, wavelet=DB4, levels=(3, 2, 2)),
            0.05: AdmmWavelet(weight=0.1, rho=2.27, max_steps=1, wavelet=DB4, levels=(3, 2, 2)),
        },
        "color": {
            0.0: AdmmWavelet(weight=0.0001, rho=0.00833, max_steps=1, wavelet=DB4, levels=(3, 2, 2)),
            0.02: AdmmWavelet(weight=0.005, rho=0.417, max_steps=1, wavelet=DB4, levels=(3, 2, 2)),
            0.05: AdmmWavelet(weight=0.0125, rho=0.417, max_steps=1, wavelet=DB4, levels=(3, 2, 2)),
        },
        "denoise": {
            0.02: AdmmWavelet(weight=0.02, rho=1.54, max_steps=3, wavelet=DB4, levels=(3, 2, 2)),
            0.05: AdmmWavelet(weight=0.125, rho=9.62, max_steps=6, wavelet=DB4, levels=(2, 2, 2)),
            0.1: AdmmWavelet(weight=0.25, rho=2.5, max_steps=3, wavelet=DB4, levels=(3, 2, 2)),
        },
    },
}
"""Solver -> problem -> noise σ of the tuning -> the solver, for real clips of 8 frames."""
