"""Names that hospitals' tables usually have, in English, German, French and Spanish; for drafts, never for curation.

All are written as `plain` makes them: small letters and digits, no accents, marks or spaces.
"""

from __future__ import annotations

# Field of the manifest -> names of its column, the likeliest first. A column is taken only if its whole name is one of
# these: "patient age" must not be taken for the patient.
COLUMNS = {
    "file": (
        "file", "filename", "filepath", "imagefile", "image", "imagename", "imagepath", "picture", "path",
        "datei", "dateiname", "dateipfad", "bilddatei", "bild", "bildname", "bildpfad", "pfad",
        "fichier", "nomfichier", "nomdufichier", "nomdefichier", "cheminfichier", "chemin",
        "archivo", "nombrearchivo", "nombredearchivo", "nombredelarchivo", "fichero", "imagen", "ruta",
    ),
    "patient": (
        "patient", "patientid", "patientnumber", "patientno", "patientnr", "patid", "patno", "pid", "mrn",
        "subject", "subjectid", "case", "caseid", "casenumber",
        "patienten", "patientenid", "patientennummer", "patientennr", "patientnummer", "patnr", "fall", "fallid",
        "fallnummer", "fallnr",
        "patiente", "idpatient", "numeropatient", "numeropatiente", "numerodepatient", "numpatient", "cas",
        "paciente", "pacienteid", "idpaciente", "iddepaciente", "numeropaciente", "numerodepaciente", "nhc", "caso",
    ),
    "label": (
        "label", "class", "diagnosis", "pathology", "histology", "biopsy", "finding", "category", "groundtruth",
        "diagnose", "histologie", "pathologie", "biopsie", "dignitat", "dignitaet", "befund", "klasse", "kategorie",
        "diagnostic", "classe", "etiquette", "categorie",
        "diagnostico", "histologia", "patologia", "biopsia", "hallazgo", "clase", "etiqueta", "categoria",
    ),
    "mask": (
        "mask", "maskfile", "maskname", "maskpath", "outline", "segmentation", "annotation",
        "maske", "maskendatei", "umriss", "kontur", "segmentierung",
        "masque", "contour", "mascara", "contorno", "segmentacion",
    ),
    "organ": (
        "organ", "anatomy", "bodypart", "anatomie", "korperteil", "koerperteil", "korperregion", "koerperregion",
        "organe", "partieducorps", "organo", "anatomia", "partedelcuerpo",
    ),
    "modality": (
        "modality", "mode", "imagingmode", "modalitat", "modalitaet", "modus", "bildmodus", "verfahren",
        "modalite", "modalidad", "modo",
    ),
    "scan_mode": (
        "scanmode", "probe", "probetype", "transducer", "transducertype", "schallkopf", "schallkopftyp", "sonde",
        "sondentyp", "typedesonde", "capteur", "sonda", "tipodesonda", "transductor",
    ),
    "clip": (
        "clip", "clipid", "video", "videoid", "sweep", "cine", "cineloop", "loop", "schleife", "boucle",
    ),
}  # fmt: skip

# Field -> word of the vocabulary -> other names for it. Only names that mean nothing else in a table of ultrasound.
MEANINGS = {
    "organ": {
        "breast": ("mamma", "mammae", "brust", "brustdruse", "sein", "mama", "seno", "mammarygland"),
        "thyroid": ("schilddruse", "schilddruese", "thyroide", "tiroides", "thyroidgland"),
        "liver": ("leber", "foie", "higado", "hepar"),
        "gallbladder": ("gallenblase", "vesiculebiliaire", "vesiculabiliar"),
        "pancreas": ("pankreas", "bauchspeicheldruse", "bauchspeicheldruese"),
        "kidney": ("niere", "nieren", "kidneys", "rein", "reins", "rinon", "rinones"),
        "prostate": ("prostata",),
        "ovary": ("ovar", "eierstock", "ovaries", "ovaire", "ovario"),
        "cervix": ("zervix", "gebarmutterhals", "gebaermutterhals", "coldeluterus", "cuellouterino"),
        "fetus": ("fotus", "foetus", "feto", "fetal"),
        "heart": ("herz", "coeur", "corazon", "cardiac"),
        "lung": ("lunge", "lungs", "poumon", "pulmon"),
        "carotid artery": ("carotid", "karotis", "carotis", "halsschlagader", "carotide", "carotida"),
        "skeletal muscle": ("muscle", "muskel", "muskulatur", "musculo"),
        "peripheral nerve": ("nerve", "nerv", "nerf", "nervio"),
        "lymph node": ("lymphnode", "lymphknoten", "ganglionlymphatique", "gangliolinfatico"),
        "colorectum": ("kolorektum", "colorectal"),
        "appendix": ("appendice", "apendice"),
        "brain": ("gehirn", "hirn", "cerveau", "cerebro"),
    },
    "modality": {
        "B-mode": ("bmodus", "bbild", "2d", "greyscale", "grayscale", "modeb", "modob"),
        "harmonic B-mode": ("harmonic", "thi", "tissueharmonicimaging"),
        "colour Doppler": ("colordoppler", "farbdoppler", "farbduplex", "dopplercouleur", "dopplercolor", "cfm"),
        "power Doppler": ("powerdoppler", "dopplerpuissance", "dopplerenergie", "dopplerpoder"),
        "spectral Doppler": ("pwdoppler", "cwdoppler", "spektraldoppler", "dopplerpulse", "dopplerespectral"),
        "M-mode": ("mmodus", "modem", "modom"),
        "contrast-enhanced": ("ceus", "contrast", "kontrast", "contraste"),
    },
    "scan_mode": {
        "linear": ("lineararray", "linearschallkopf", "linearsonde", "lineaire", "lineal"),
        "convex": ("konvex", "curved", "curvilinear", "convexe", "convexo", "konvexschallkopf"),
        "phased sector": ("phasedarray", "sector", "sektor", "sektorschallkopf", "sectoriel", "sectorial"),
        "endocavity": ("endocavitary", "endovaginal", "transvaginal", "transrectal", "transrektal", "endokavitar"),
    },
    "label": {
        "benign": ("gutartig", "benigne", "benin", "benigna", "benigno"),
        "malignant": ("bosartig", "boesartig", "maligne", "malin", "maligna", "maligno"),
        "normal": ("unauffallig", "unauffaellig", "normale", "normalbefund"),
    },
}  # fmt: skip

NOT_KNOWN = ("unknown", "unbekannt", "inconnu", "desconocido", "na", "nd")
