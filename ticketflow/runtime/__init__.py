"""How the processes of one machine start, watch each other, and end."""
