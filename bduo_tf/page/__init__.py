"""The report page: one HTML file that shows a run and its conversion, and needs no network to be opened."""

from bduo_tf.page.conversion import conversion_sections
from bduo_tf.page.html import write_page
from bduo_tf.page.training import subtitle, title, training_sections

__all__ = ["conversion_sections", "subtitle", "title", "training_sections", "write_page"]
