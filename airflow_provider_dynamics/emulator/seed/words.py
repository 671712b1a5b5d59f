"""Names the sample company is made of, chosen to be awkward: umlauts, quotes, other scripts, emoji."""

from __future__ import annotations

COMPANIES = (
    "Adventure Works (sample)",
    "Alpine Ski House (sample)",
    "Blue Yonder Airlines (sample)",
    "City Power & Light (sample)",
    "Coho Winery (sample)",
    "Fabrikam, Inc. (sample)",
    "Fourth Coffee (sample)",
    "Litware, Inc. (sample)",
    "A. Datum Corporation (sample)",
    "Contoso Pharmaceuticals (sample)",
    "Müller & Söhne Straßenbau GmbH",
    'O\'Brien "The Boatyard" Ltd.',
    "Zażółć Gęślą Jaźń Sp. z o.o.",
    "株式会社サンプル",
    "Café ☕ Déjà Vu 🚀",
    "Ærø Rederi A/S",
    "100% Natural_Foods [West]",
    "Northwind Traders",
    "Proseware GmbH",
    "Tailspin Toys",
    "Trey Research",
    "Wide World Importers",
    "Wingtip Toys",
    "Woodgrove Bank",
    "Graphic Design Institute",
    "Humongous Insurance",
    "Lucerne Publishing",
    "Margie's Travel",
    "School of Fine Art",
    "Southridge Video",
    "The Phone Company",
    "Van Arsdel, Ltd.",
    "VanArsdel Österreich",
    "Relecloud",
    "Munson's Pickles and Preserves Farm",
    "Liberty's Delightful Sinful Bakery",
    "Lamna Healthcare",
    "Best For You Organics",
    "First Up Consultants",
    "Nod Publishers",
)
FIRST_NAMES = (
    "Susanna",
    "Jörg",
    "Yvonne",
    "Robert",
    "Renée",
    "Siobhán",
    "Łukasz",
    "Nancy",
    "Thomas",
    "Maria",
    "Ahmet",
    "Ingrid",
    "太郎",
    "Paul",
    "Vincent",
    "Heidi",
    "Scott",
)
LAST_NAMES = (
    "Stubberod",
    "Größe",
    "McKay",
    "O'Neill",
    "Valdes",
    "Lyon",
    "Konersmann",
    "Andersen",
    "Şahin",
    "Campbell",
    "Cannon",
    "Lauritzen",
    "Ng",
)
JOB_TITLES = ("Purchasing Manager", "Owner", "Chief Financial Officer", "Engineer", "Assistant", None)
CITIES = (
    ("Redmond", "WA", "98052", "United States", 47.67399, -122.12151),
    ("Köln", "NRW", "50667", "Deutschland", 50.93753, 6.96028),
    ("Lynnwood", "WA", "98036", "United States", 47.82093, -122.31513),
    ("Wien", None, "1010", "Österreich", 48.20849, 16.37208),
    ("São Paulo", "SP", "01000-000", "Brasil", -23.55052, -46.63331),
    ("東京", None, "100-0001", "日本", 35.68946, 139.69172),
    ("Dallas", "TX", "75201", "United States", 32.78306, -96.80667),
)
STREETS = ("123 Coffee Street", "7120 Main Rd.", "Hauptstraße 5", "4405 Balboa Court", "Rua do Ouvidor 50")
DOMAINS = ("adventure-works.example", "fabrikam.example", "litware.example", "mueller-soehne.example")
PRODUCTS = ("pump", "conveyor belt", "coffee roaster", "solar panel", "forklift", "water filter")
TASKS = ("Call back about", "Send brochure for", "Check delivery of", "Prepare offer for", "Follow up on")
CASES = (
    "Item defective on delivery",
    "Wrong product shipped",
    "Where is my order?",
    "Cannot sign in to the portal",
    "Maintenance needed",
    "Frage zur Rechnung",
)
LONG_TEXT = ('Line one of a long note.\r\nSecond line with a\ttab, "quotes" and a \\ backslash. ' * 30)[:2000]
