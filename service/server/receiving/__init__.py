"""The OTLP receiver: spans that programs send, put together by trace, judged and kept."""
