FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TICKETFLOW_DATA_DIR=/data HOST=0.0.0.0
WORKDIR /app

# First what changes least: an edit of our own code does not install everything anew.
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY . .
RUN useradd --system --uid 10001 ticketflow && install -d -o ticketflow -m 700 /data
USER ticketflow

VOLUME /data
EXPOSE 8000
# 127.0.0.1 is always an allowed host; the image has Python and no curl.
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", 8000)}/healthz', timeout=5)"]

# Web and worker together, on SQLite until DATABASE_URL says otherwise.
CMD ["python", "manage.py", "start"]
