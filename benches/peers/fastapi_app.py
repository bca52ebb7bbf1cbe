"""Verifies a notification as the service does, and keeps nothing. Run by uvicorn, with SECRET set."""

import hashlib
import hmac
import os
import uuid

from fastapi import FastAPI, HTTPException, Request

SECRET = os.environ["SECRET"].encode()
app = FastAPI()


@app.get("/hook")
async def ready():
    return "ready"


@app.post("/hook")
async def hook(request: Request):
    body = await request.body()
    signed = request.headers.get("generated-at", "").encode() + b":" + body
    wanted = hmac.new(SECRET, signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted, request.headers.get("x-api-key", "").lower()):
        raise HTTPException(401)
    return {"result": "accepted", "id": str(uuid.uuid4())}
