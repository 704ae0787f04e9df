"""CEMI denoising: classical filters behind the Denoiser protocol."""

__version__ = "0.1.0"
