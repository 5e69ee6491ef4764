"""The scores of codes beside known factors, as ``measures`` has them."""

from __future__ import annotations

from reparam.score_columns import Measure

FACTORS: dict[str, Measure] = {
    "dead_latents": Measure(
        "Dead latents",
        "Factors",
        "Latents whose deviation is under a millionth of the largest, or whose mean rate is under "
        "0.01 nats: constants to every metric of factors.",
        told=True,
        form="whole",
    ),
    "mig": Measure(
        "MIG",
        "Factors",
        "Of each known factor, by how much the latent that tells most of it tells more than the "
        "next one, over the factor's entropy (Chen et al. 2018); by histograms, so that a factor "
        "with more levels than bins cannot reach 1.",
        "higher",
        "",
        told=True,
    ),
    "mig_ceiling": Measure(
        "Ceiling of MIG",
        "Factors",
        "What the distinct x tell of the factors, over their entropies: the largest MIG that any "
        "encoder could reach.",
        unit="",
    ),
    "modularity": Measure(
        "Modularity",
        "Factors",
        "How far each latent tells of one factor only (Ridgeway & Mozer 2018), a dead latent "
        "counting 0. Latents of noise have about 0.65, not 0.",
        "higher",
        "",
        told=True,
    ),
    "modularity_live": Measure(
        "Modularity, live latents",
        "Factors",
        "The same without dead latents.",
        "higher",
        "",
        told=True,
    ),
    "explicitness": Measure(
        "Explicitness",
        "Factors",
        "Area under the ROC of logistic regression's probability of each level of a factor, given "
        "all latents (Ridgeway & Mozer 2018): 0.5 by chance.",
        "higher",
        "",
        told=True,
    ),
    "sap": Measure(
        "SAP",
        "Factors",
        "Gap of the two latents that predict a factor best (Kumar et al. 2018), by squared "
        "correlation or balanced accuracy. Published numbers are those of another predictor.",
        "higher",
        "",
        told=True,
    ),
    "dci_disentanglement": Measure(
        "DCI disentanglement",
        "Factors",
        "1 − the entropy of each latent's importance for the factors, by boosted trees (Eastwood & "
        "Williams 2018). It depends on the trees.",
        "higher",
        "",
        told=True,
    ),
    "dci_completeness": Measure(
        "DCI completeness",
        "Factors",
        "1 − the entropy of the importances of the latents for each factor, by the same trees.",
        "higher",
        "",
        told=True,
    ),
    "dci_informativeness": Measure(
        "DCI informativeness",
        "Factors",
        "Share of unseen rows whose level the same trees tell, averaged over factors.",
        "higher",
        "",
        told=True,
        form="share",
    ),
    "beta_vae_metric": Measure(
        "BetaVAE score",
        "Factors",
        "How often a linear classifier tells which factor pairs have in common, by how far their "
        "codes differ (Higgins et al. 2017): 1/F by chance. Rotated codes may have 1 as well.",
        "higher",
        "",
        told=True,
        form="share",
    ),
    "factor_vae_metric": Measure(
        "FactorVAE score",
        "Factors",
        "How often the latent that varies least tells which factor is fixed (Kim & Mnih 2018): 1/F "
        "by chance.",
        "higher",
        "",
        told=True,
        form="share",
    ),
    "irs": Measure(
        "IRS",
        "Factors",
        "How little a latent moves while its best factor is fixed (Suter et al. 2019). Codes "
        "without any order have about 0.37, not 0.",
        "higher",
        "",
        told=True,
    ),
    "udr": Measure(
        "UDR",
        "Factors",
        "How far models of several seeds have the same latents, one by one (Duan et al. 2020). No "
        "factors are needed; 0.9 at most by Lasso.",
        "higher",
        "",
        told=True,
    ),
}
