"""An invented company, Larkfield, for demonstrations, screenshots and measurements."""
