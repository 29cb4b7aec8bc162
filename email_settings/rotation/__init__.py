"""A new access key in the place of the old one, step by step, while mail flows.

    CREATE or PASTE ▶ TRY ▶ TEST ▶ SWITCH ▶ WATCH ▶ DISABLE ▶ REST ▶ DELETE ▶ done
    at any time before the end: back, BACK (after the switch) ▶ CLEAN ▶ undone

machine.py moves a rotation on, steps.py says what each step does, words.py what people
read, reminder.py when it is time for one, trial.py sends the test e-mail.
"""
