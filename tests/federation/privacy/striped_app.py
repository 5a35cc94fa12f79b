"""The sites' application over striped pictures, for workers only: importing this changes the process."""

from tests.federation.privacy.striped_patients import put_in_place
from ultrafm.federation import client_app

put_in_place(setattr)
app = client_app.app
